"""The wallet's pages for a fleet's owners and finance, outside of the admin: `/wallet/`."""
