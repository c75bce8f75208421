"""The shop: schema and first million rows."""

from __future__ import annotations

from typing import Final

CUSTOMERS: Final = 50_000
ORDERS: Final = 250_000
ORDER_LINES: Final = 600_000
PAYMENTS: Final = 100_000
TABLES: Final = ("customers", "orders", "order_lines", "payments")

SCHEMA: Final = """
create table customers (
    customer_id bigint primary key, name text not null, email text not null, joined_on date not null,
    is_business boolean not null, preferences jsonb);
create table orders (
    order_id bigint primary key, customer_id bigint not null, status text not null,
    total numeric(12, 2) not null, placed_at timestamptz not null, note text);
create table order_lines (
    order_id bigint not null, line_no int not null, product text not null, quantity int not null,
    unit_price numeric(10, 2) not null, primary key (order_id, line_no));
create table payments (
    payment_id bigint primary key, order_id bigint not null, amount numeric(12, 2) not null,
    method text not null, paid_at timestamptz not null);
"""

FILL: Final = (
    f"""insert into customers select i, 'Customer ' || i, 'c' || i || '@example.com',
        date '2015-01-01' + (i % 4000)::int, i % 7 = 0,
        case when i % 3 = 0 then jsonb_build_object('newsletter', i % 2 = 0, 'size', i % 40) end
        from generate_series(1, {CUSTOMERS}) i""",
    f"""insert into orders select i, 1 + (i * 7919) % {CUSTOMERS},
        (array['new', 'paid', 'sent', 'done'])[1 + i % 4],
        (i % 100000) / 100.0, timestamptz '2024-01-01' + i * interval '97 seconds',
        case when i % 11 = 0 then repeat('gift ', (i % 20)::int) end from generate_series(1, {ORDERS}) i""",
    f"""insert into order_lines select 1 + (i - 1) / 3, 1 + (i - 1) % 3, 'SKU-' || (i * 31) % 5000,
        1 + (i % 9)::int, (i % 20000) / 100.0 from generate_series(1, {ORDER_LINES}) i""",
    f"""insert into payments select i, i, (i % 100000) / 100.0,
        (array['card', 'transfer', 'cash'])[1 + i % 3],
        timestamptz '2024-01-02' + i * interval '97 seconds' from generate_series(1, {PAYMENTS}) i""",
)

ROLE: Final = ("create role shop login replication password 'shop'", "create database shop owner shop")

CONFIG: Final = """# Written by `cdc demo`, whose server ends with it; DEMO_URL was its address.
state_dir: ./state
sources:
  shop:
    type: postgres
    url: ${DEMO_URL:-postgresql://shop@127.0.0.1/shop}
    tables: ["public.*"]
sinks:
  warehouse:
    type: duckdb
    from: [shop]
    path: ./warehouse.duckdb
    mode: mirror
    flush: {interval: 1s}
  lake:
    type: parquet
    from: [shop]
    url: ./lake
    flush: {interval: 5s}
"""
