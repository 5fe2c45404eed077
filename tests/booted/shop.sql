-- A small shop of one's own, for the machine that is booted.
CREATE TABLE orders (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, created_at TEXT, updated_at TEXT, state TEXT, tracking TEXT);
CREATE TABLE items (id INTEGER PRIMARY KEY, order_id INTEGER, name TEXT, qty INTEGER, price TEXT);
CREATE INDEX orders_updated ON orders (updated_at);
