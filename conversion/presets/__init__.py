"""Presets as data: one YAML file per family."""
