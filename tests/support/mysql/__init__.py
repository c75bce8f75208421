"""What the tests of MySQL and MariaDB stand on: servers, databases, followers, bytes made by hand."""
