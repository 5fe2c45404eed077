-- Invented orders. 101: HPOS order with company, Packeta, two variants, a refund of one piece, cash on delivery that looks paid.
INSERT INTO wp_options (option_name, option_value) VALUES ('woocommerce_custom_orders_table_enabled', 'yes'), ('woocommerce_weight_unit', 'g'), ('siteurl', 'https://shop.example.cz'),
  ('timezone_string', 'Europe/Prague'), ('woocommerce_flat_rate_3_settings', 'a:3:{s:5:"title";s:13:"Kurýr & spol";s:10:"tax_status";s:7:"taxable";s:4:"cost";s:2:"99";}'),
  ('woocommerce_cod_settings', 'a:2:{s:7:"enabled";s:3:"yes";s:5:"title";s:8:"Dobírka";}'), ('woocommerce_bacs_settings', 'a:2:{s:7:"enabled";s:2:"no";s:5:"title";s:8:"Převod";}');
INSERT INTO wp_woocommerce_shipping_zone_methods (zone_id, instance_id, method_id, method_order) VALUES (1, 3, 'flat_rate', 1), (1, 4, 'packeta_method_zpointcz', 2);
INSERT INTO wp_wc_orders (id, status, currency, type, total_amount, billing_email, date_created_gmt, date_updated_gmt, parent_order_id, payment_method, payment_method_title, customer_note) VALUES
  (101, 'wc-processing', 'CZK', 'shop_order', 1210.00000000, 'zofie@example.cz', '2026-11-01 08:00:00', '2026-11-02 09:00:00', 0, 'cod', 'Dobírka', 'Prosím 🎁 zabalit &amp; poslat'),
  (102, 'wc-processing', 'eur', 'shop_order', 25.50000000, 'guest@example.cz', '2026-11-01 08:00:00', '2026-11-02 09:00:00', 0, 'bacs', 'Převod', NULL),
  (103, 'trash', 'CZK', 'shop_order', 10, 'x@example.cz', '2026-11-01 08:00:00', '2026-11-02 09:00:01', 0, 'bacs', '', ''),
  (104, 'wc-checkout-draft', 'CZK', 'shop_order', 10, NULL, NULL, NULL, 0, NULL, NULL, NULL),
  (105, 'wc-processing', 'CZK', 'shop_order', 10, 'deleted@site.invalid', '2026-11-01 08:00:00', '2026-11-02 09:00:02', 0, 'bacs', '', ''),
  (106, 'wc-balim', 'CZK', 'shop_order', 10, NULL, '2026-11-01 08:00:00', '2026-11-02 09:00:03', 0, 'gopay', 'GoPay', ''),
  (201, 'wc-completed', 'CZK', 'shop_order_refund', -121.00000000, NULL, '2026-11-02 08:00:00', '2026-11-02 08:00:00', 101, NULL, NULL, NULL);
INSERT INTO wp_wc_order_operational_data (order_id, date_paid_gmt) VALUES (101, '2026-11-01 08:00:05'), (102, NULL), (106, '2026-11-01 08:00:05');
INSERT INTO wp_wc_order_addresses (order_id, address_type, first_name, last_name, company, address_1, address_2, city, postcode, country, phone) VALUES
  (101, 'billing', 'Žofie', 'Šťastná', 'Květiny &amp; dárky &#038; spol.', 'Příčná 12/3', '', 'Brno', '602 00', 'CZ', '+420 700 000 001'),
  (101, 'shipping', 'Petr', 'O&#039;Neil', '', 'U &quot;Řeky&quot; 4', '2. patro', 'Ústí', '40001', 'CZ', ''),
  (102, 'billing', 'Ján', 'Host', NULL, 'Hlavná 1', NULL, 'Žilina', '010 01', 'SK', NULL),
  (102, 'shipping', '', '', NULL, '', NULL, '', NULL, 'SK', NULL);
INSERT INTO wp_wc_orders_meta (order_id, meta_key, meta_value) VALUES (101, '_billing_ic', ''), (101, '_billing_ic', '12345678'), (101, '_billing_dic', 'CZ12345678'), (101, '_order_number', '2026-0101'), (105, '_anonymized', 'yes');
INSERT INTO wp_packetery_order (id, carrier_id, is_exported, is_label_printed, address_validated, point_id) VALUES (101, 'packeta', 0, 0, 0, '4321'), (102, '131', 0, 0, 0, 'SK-99');
INSERT INTO wp_posts (ID, post_content, post_title, post_excerpt, to_ping, pinged, post_content_filtered, post_type, post_status, post_parent, post_modified, post_modified_gmt) VALUES
  (11, '', 'Tričko', '', '', '', '', 'product', 'publish', 0, '2026-10-01 12:00:00', '2026-10-01 10:00:00'), (12, '', 'Tričko XL', '', '', '', '', 'product_variation', 'publish', 11, '2026-10-01 12:00:00', '2026-10-01 10:00:00'),
  (101, '', '', '', '', '', '', 'shop_order_placehold', 'draft', 0, '2026-11-01 09:00:00', '2026-11-01 08:00:00');
INSERT INTO wp_postmeta (post_id, meta_key, meta_value) VALUES (11, '_sku', 'TRI'), (11, '_weight', '250'), (12, '_sku', 'TRI-XL'), (12, '_weight', ''), (12, '_global_unique_id', '8590000000017'),
  (12, 'attribute_pa_velikost', 'xl'), (12, 'attribute_barva', 'bílá'), (11, '_thumbnail_id', '50'), (50, '_wp_attached_file', '2026/11/tricko.jpg');
INSERT INTO wp_woocommerce_order_items (order_item_id, order_item_name, order_item_type, order_id) VALUES (1, 'Tričko &amp; ponožky', 'line_item', 101), (2, 'Smazaný výrobek', 'line_item', 101), (3, 'Doprava', 'shipping', 101), (4, 'Dobírka', 'fee', 101),
  (5, 'CZ-DPH-1', 'tax', 101), (6, 'Kniha', 'line_item', 102), (7, 'Zásilkovna stará', 'shipping', 102), (8, 'Tričko', 'line_item', 201), (9, 'Vrácené celé', 'line_item', 101), (10, 'Vrácené celé', 'line_item', 201);
INSERT INTO wp_woocommerce_order_itemmeta (order_item_id, meta_key, meta_value) VALUES
  (1, '_product_id', '11'), (1, '_variation_id', '12'), (1, '_qty', '3'), (1, '_qty', '99'), (1, '_line_subtotal', '300'), (1, '_line_subtotal_tax', '63'), (1, '_line_total', '300'), (1, '_line_tax', '63'), (1, 'pa_velikost', 'xl'), (1, 'barva', 'bílá'), (1, 'cosi_pluginu', 'x'), (1, '_reduced_stock', '3'),
  (2, '_product_id', '0'), (2, '_variation_id', '0'), (2, '_qty', '1'), (2, '_line_subtotal', '100'), (2, '_line_subtotal_tax', '12.00'), (2, '_line_total', '0'), (2, '_line_tax', ''),
  (3, 'method_id', 'flat_rate'), (3, 'instance_id', '3'), (3, 'cost', '99'), (4, '_line_total', '30'), (5, 'rate_percent', '21'),
  (6, '_product_id', '999'), (6, '_qty', '1'), (6, '_line_subtotal', '20'), (6, '_line_subtotal_tax', '0'), (6, '_line_total', '20'), (6, '_line_tax', '0'), (7, 'method_id', 'packeta_method_131'), (7, 'instance_id', '77'),
  (8, '_refunded_item_id', '1'), (8, '_qty', '-1'), (8, '_line_total', '-100'), (8, '_line_tax', '-21'),
  (9, '_product_id', '11'), (9, '_variation_id', '0'), (9, '_qty', '1'), (9, '_line_subtotal', '1'), (9, '_line_subtotal_tax', '0'), (9, '_line_total', '1'), (9, '_line_tax', '0'), (10, '_refunded_item_id', '9'), (10, '_qty', '-1'), (10, '_line_total', '-1'), (10, '_line_tax', '0');
-- Orders in posts: 301 is stale while the order tables hold the truth.
INSERT INTO wp_posts (ID, post_content, post_title, post_excerpt, to_ping, pinged, post_content_filtered, post_type, post_status, post_parent, post_date, post_date_gmt, post_modified, post_modified_gmt) VALUES
  (301, '', '', 'Zvonek nefunguje', '', '', '', 'shop_order', 'wc-processing', 0, '2026-11-01 09:00:00', '2026-11-01 08:00:00', '2026-11-02 10:00:00', '2026-11-02 09:00:00'),
  (302, '', '', '', '', '', '', 'shop_order', 'auto-draft', 0, '2026-11-01 09:00:00', '0000-00-00 00:00:00', '2026-11-02 10:00:00', '2026-11-02 09:00:00'),
  (303, '', '', '', '', '', '', 'shop_order_refund', 'wc-completed', 301, '2026-11-02 09:00:00', '2026-11-02 08:00:00', '2026-11-02 10:00:00', '2026-11-02 09:00:00');
INSERT INTO wp_postmeta (post_id, meta_key, meta_value) VALUES (301, '_order_total', '363'), (301, '_order_total', '999'), (301, '_order_currency', 'CZK'), (301, '_payment_method', 'bacs'), (301, '_date_paid', '1761984000'),
  (301, '_billing_first_name', 'Žofie'), (301, '_billing_last_name', 'Šťastná &amp; dcery'), (301, '_billing_address_1', 'č.p. 15'), (301, '_billing_city', 'Brno'), (301, '_billing_postcode', '60200'), (301, '_billing_country', 'CZ'), (301, '_billing_email', 'zofie@example.cz'),
  (301, '_billing_phone', '700'), (301, '_billing_ic', '12345678'), (301, '_shipping_country', 'CZ'), (303, '_order_total', '-121');
INSERT INTO wp_woocommerce_order_items (order_item_id, order_item_name, order_item_type, order_id) VALUES (31, 'Tričko', 'line_item', 301), (32, 'Tričko', 'line_item', 303);
INSERT INTO wp_woocommerce_order_itemmeta (order_item_id, meta_key, meta_value) VALUES (31, '_product_id', '11'), (31, '_qty', '3'), (31, '_line_subtotal', '300'), (31, '_line_subtotal_tax', '63'), (31, '_line_total', '300'), (31, '_line_tax', '63'),
  (32, '_refunded_item_id', '31'), (32, '_qty', '-1'), (32, '_line_total', '-100'), (32, '_line_tax', '-21');
