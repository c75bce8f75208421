"""What connectors share beside the contracts: each module is one thing that a connector would write itself."""
