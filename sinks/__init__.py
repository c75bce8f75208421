"""Sinks, one package a target; found through the entry points `cdc.sinks`."""
