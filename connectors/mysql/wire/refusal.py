"""The words for each value of MySQL and MariaDB that Arrow can't hold."""

ZERO_DATE = "the zero date 0000-00-00"
PARTIAL_DATE = "a date whose month or day is 0"
YEAR_ZERO = "a date in the year 0"
INVALID_DATE = "a day that its month does not have"
UNDEFINED_BYTES = "bytes that have no character in the column's character set"
