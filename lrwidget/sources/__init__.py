"""The sources of a widget's runs."""
