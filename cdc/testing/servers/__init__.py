"""Starters of real database servers, for the tests of plug-ins and for the demo."""
