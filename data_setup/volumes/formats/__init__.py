"""The files of volumes: NIfTI, Analyze and DICOM, what their headers say, and the packages that read them."""
