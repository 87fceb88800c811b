"""Training recipes as data: one YAML file each."""
