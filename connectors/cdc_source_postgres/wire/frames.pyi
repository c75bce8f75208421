from typing import Any

class Frames:
    def __init__(self, pgconn: Any) -> None: ...
