"""The node's HTTP server: DICOMweb at /dicom-web, the application at /."""
