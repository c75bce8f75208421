# Only other compiled modules build columns; Python sees that the module is there.

class Column:
    @property
    def length(self) -> int: ...
