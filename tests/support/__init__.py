"""What the tests stand on: servers, a proxy that cuts, child processes, the random workload."""
