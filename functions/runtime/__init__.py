"""Devices, processes, files and errors. Depends on no model and no data."""
