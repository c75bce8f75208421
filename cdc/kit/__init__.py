"""Code that connectors share beside the contracts: each would write these modules itself."""
