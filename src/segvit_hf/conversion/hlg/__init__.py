"""HLG's original configurations and names."""
