"""Documents as people and machines read them: PDF, CSV, XLSX, the portal's JSON."""
