"""What the widget costs the page, measured in real JupyterLab under Chromium."""
