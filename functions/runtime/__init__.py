"""What everything else stands on: devices, processes, files, errors. Knows no model and no data."""
