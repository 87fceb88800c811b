"""What the configurations of mmsegmentation have in common, whatever the architecture."""
