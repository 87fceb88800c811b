"""Class names and colours of the data sets the models were trained on: one line per class, `name red green blue`."""
