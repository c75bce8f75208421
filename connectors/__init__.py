"""Sources, one package a database family; found through the entry points `cdc.sources`."""
