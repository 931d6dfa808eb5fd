"""Cost of the widget for the page, measured in real JupyterLab under Chromium."""
