"""Traffic of the demo's shop: small transactions of every kind, at a steady pace.

The statements are such that Postgres, MySQL and MariaDB all understand them.
"""

from __future__ import annotations

import random
import threading
import time
from typing import Any

from cdc.cli.demo.server import DemoServer, DemoSession
from cdc.cli.demo.shop import Shop

# Busy enough to be seen, and it leaves the machine's cores to the copy:
# the demo shows correctness, `make bench` speed.
TRANSACTIONS_A_SECOND = 150.0
ADD_COLUMN = "alter table customers add column loyalty varchar(20) not null default 'bronze'"
NEW_TABLE = "create table coupons (code varchar(40) primary key, percent int not null, valid_until date)"


class Workload:
    """A writer on a thread of its own; `stop` waits for it.

    The demo's turning points are methods that other threads call.
    """

    def __init__(self, server: DemoServer, shop: Shop, seed: int = 7) -> None:
        self._server = server
        self._shop = shop
        self._random = random.Random(seed)
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workload")
        self._next_order = 10_000_000
        self._has_coupons = False
        self._failed: BaseException | None = None
        self.transactions = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._halt.set()
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    def change_schema(self) -> None:
        """A new column with a default, and a new table."""
        with self._server.connect() as session:
            session.execute(ADD_COLUMN)
            session.execute(NEW_TABLE)
        self._has_coupons = True

    def bulk(self) -> None:
        """One big transaction: an update of a third of all order lines."""
        with self._server.connect() as session:
            session.execute(
                "update order_lines set quantity = quantity + 1 where order_id <= %s",
                (self._shop.bulk_rows // 3 + 1,),
            )

    def _run(self) -> None:
        try:
            with self._server.connect() as session:
                while not self._halt.is_set():
                    began = time.monotonic()
                    with session.transaction():
                        self._random.choice(self._kinds())(session)
                    self.transactions += 1
                    self._halt.wait(max(0.0, 1 / TRANSACTIONS_A_SECOND - (time.monotonic() - began)))
        except Exception as error:  # noqa: BLE001  (raised again by stop, on the demo's own thread)
            self._failed = error

    def _kinds(self) -> list[Any]:
        kinds = [
            self._order,
            self._order,
            self._pay,
            self._ship,
            self._cancel,
            self._merge_customers,
            self._renumber,
        ]
        return [*kinds, self._coupon] if self._has_coupons else kinds

    def _order(self, session: DemoSession) -> None:
        self._next_order += 1
        number = self._next_order
        customer = self._random.randint(1, self._shop.customers)
        session.execute(
            "insert into orders values (%s, %s, 'new', %s, current_timestamp(6), null)",
            (number, customer, self._random.randint(1, 9999) / 100),
        )
        for line in range(1, self._random.randint(2, 6)):
            session.execute(
                "insert into order_lines values (%s, %s, %s, %s, %s)",
                (
                    number,
                    line,
                    f"SKU-{line}",
                    self._random.randint(1, 9),
                    self._random.randint(1, 9999) / 100,
                ),
            )

    def _pay(self, session: DemoSession) -> None:
        order = self._random.randint(1, self._shop.orders)
        session.execute(
            "insert into payments values (%s, %s, 9.99, 'card', current_timestamp(6))",
            (self._next_payment(), order),
        )
        session.execute("update orders set status = 'paid' where order_id = %s", (order,))

    def _ship(self, session: DemoSession) -> None:
        first = self._random.randint(1, self._shop.orders)
        session.execute(
            "update orders set status = 'sent', note = concat(coalesce(note, ''), '!')"
            " where order_id between %s and %s",
            (first, first + 9),
        )

    def _cancel(self, session: DemoSession) -> None:
        order = self._random.randint(1, self._shop.orders)
        session.execute("delete from order_lines where order_id = %s", (order,))
        session.execute("delete from orders where order_id = %s", (order,))

    def _merge_customers(self, session: DemoSession) -> None:
        session.execute(
            "delete from customers where customer_id = %s", (self._random.randint(1, self._shop.customers),)
        )

    def _renumber(self, session: DemoSession) -> None:
        """A change of the primary key."""
        number = self._random.randint(1, self._shop.customers)
        session.execute(
            "update customers set customer_id = %s where customer_id = %s", (self._next_payment(), number)
        )

    def _coupon(self, session: DemoSession) -> None:
        code = f"C{self._next_payment()}"
        session.execute(
            "insert into coupons values (%s, %s, current_date)", (code, self._random.randint(1, 50))
        )

    def _next_payment(self) -> int:
        self._next_order += 1
        return self._next_order
