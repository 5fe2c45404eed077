-- The demo's shop: invented people, invented goods.
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, code TEXT, created_at TEXT, updated_at TEXT, email TEXT, phone TEXT, state TEXT,
    shipping TEXT, payment TEXT, paid INTEGER, total TEXT, currency TEXT, name TEXT, street TEXT, city TEXT,
    zip TEXT, country TEXT, note TEXT, tracking TEXT
);
CREATE INDEX orders_updated ON orders (updated_at);
CREATE TABLE items (
    id INTEGER PRIMARY KEY, order_id INTEGER, sku TEXT, name TEXT, qty TEXT, weight TEXT, price TEXT
);
INSERT INTO orders VALUES
 (1, '2026-1001', '2026-01-15 08:01:00', '2026-01-15 08:01:00', 'bozena@example.invalid', '+420 601 000 001', 'processing',
  'zasilkovna', 'card', 1, '1249.00', 'CZK', 'Božena Příkladová', 'Příčná 12/3', 'Žďár nad Sázavou', '591 01', 'CZ', 'Prosím zabalit jako dárek 🎁', NULL),
 (2, '2026-1002', '2026-01-15 08:14:30', '2026-01-15 08:14:30', 'vaclav@example.invalid', '+420 601 000 002', 'processing',
  'ppl', 'cod', 0, '560.50', 'CZK', 'Václav Vzorek', 'U Řeky 4', 'České Budějovice', '370 01', 'Česká republika', '', NULL),
 (3, '2026-1003', '2026-01-15 09:40:00', '2026-01-15 09:40:00', 'lubica@example.invalid', '+421 900 000 003', 'processing',
  'zasilkovna', 'bank', 1, '38.90', 'EUR', 'Ľubica Ukážková', 'Údolná 5', 'Žilina', '010 01', 'sk', '', NULL),
 (4, '2026-1004', '2026-01-15 10:05:00', '2026-01-15 10:05:00', 'karel@example.invalid', '', 'processing',
  'ppl', 'card', 1, '319.00', 'CZK', 'Karel Ukázka', 'č.p. 15', 'Horní Dolní', '999 99', 'CZ', '', NULL),
 (5, '2026-1005', '2026-01-15 10:20:00', '2026-01-15 10:20:00', 'jana@example.invalid', '+420 601 000 005', 'unpaid',
  'ppl', 'card', 0, '899.00', 'CZK', 'Jana Zkušební', 'Nová 1', 'Brno', '602 00', 'CZ', '', NULL),
 (6, '2026-1006', '2026-01-15 10:30:00', '2026-01-15 10:30:00', 'petr@example.invalid', '+420 601 000 006', 'cancelled',
  'ppl', 'card', 0, '99.00', 'CZK', 'Petr Pokusný', 'Stará 2', 'Olomouc', '779 00', 'CZ', '', NULL);
INSERT INTO items (order_id, sku, name, qty, weight, price) VALUES
 (1, 'HRNEK-01', 'Hrnek s kočkou', '2', '0.35', '598.00'),
 (1, 'CAJ-01', 'Čaj Ďábelský zázvor', '3', '0.1', '651.00'),
 (2, 'MED-900', 'Med květový 900 g', '1', '1.2', '560.50'),
 (3, 'SVICKA', 'Sviečka „Tichá noc“', '2', '0.25', '38.90'),
 (4, 'KNIHA', 'Kniha receptů', '1', '0,5 kg', '319.00'),
 (5, 'DEKA', 'Vlněná deka', '1', '1.1', '899.00'),
 (6, 'POHLED', 'Pohlednice', '3', '0.01', '99.00');
ALTER TABLE orders ADD COLUMN parcel TEXT;
