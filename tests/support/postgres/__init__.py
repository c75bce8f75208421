"""What the tests of Postgres stand on: servers, databases, followers, bytes made by hand."""
