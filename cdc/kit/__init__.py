"""What connectors share beside the contracts: each module is what every connector would write itself."""
