INSERT INTO ps_configuration (name, value, date_add, date_upd) VALUES ('PS_WEIGHT_UNIT', 'g', NOW(), NOW()), ('PS_LANG_DEFAULT', '2', NOW(), NOW()), ('PS_SHOP_NAME', 'Květiny', NOW(), NOW()), ('PS_SHOP_DOMAIN_SSL', 'shop.example.cz', NOW(), NOW());
INSERT INTO ps_currency (id_currency, name, iso_code, conversion_rate) VALUES (1, 'Kč', 'CZK', 1), (2, 'Euro', 'EUR', 0.04);
INSERT INTO ps_country (id_country, id_zone, iso_code, contains_states, need_identification_number, display_tax_label) VALUES (16, 1, 'CZ', 0, 0, 1), (37, 1, 'SK', 0, 0, 1);
INSERT INTO ps_customer (id_customer, id_gender, firstname, lastname, email, passwd, date_add, date_upd) VALUES (1, 0, 'Žofie', 'Šťastná', 'zofie@example.cz', '', NOW(), NOW()), (2, 0, 'Anonymous', 'Anonymous', 'anonymous@psgdpr.com', '', NOW(), NOW());
INSERT INTO ps_address (id_address, id_country, alias, company, lastname, firstname, address1, address2, postcode, city, phone, phone_mobile, vat_number, dni, date_add, date_upd, deleted) VALUES
  (1, 16, 'a', 'Květiny s.r.o.', 'Šťastná', 'Žofie', 'Příčná 12/3', '', '602 00', 'Brno', '511', '', 'CZ12345678', '12345678', NOW(), NOW(), 1),
  (2, 37, 'b', NULL, 'Novák', 'Petr', 'U Řeky 4', '2. patro', '01001', 'Žilina', NULL, '777', NULL, NULL, NOW(), NOW(), 0);
INSERT INTO ps_carrier (id_carrier, id_reference, name, deleted, active) VALUES (1, 1, '0', 0, 1), (5, 4, 'PPL starý', 1, 0), (9, 4, 'PPL', 0, 1);
INSERT INTO ps_order_state (id_order_state, unremovable, logable, paid, shipped) VALUES (1, 1, 0, 0, 0), (2, 1, 1, 1, 0), (3, 1, 1, 1, 0), (13, 1, 0, 0, 0), (14, 0, 1, 0, 0);
INSERT INTO ps_order_state_lang (id_order_state, id_lang, name, template) VALUES (2, 1, 'Payment accepted', ''), (2, 2, 'Platba přijata', ''), (3, 2, 'Připravuje se 📦', ''), (14, 2, 'Předáno k balení', '');
INSERT INTO ps_orders (id_order, reference, id_carrier, id_lang, id_customer, id_cart, id_currency, id_address_delivery, id_address_invoice, current_state, payment, module, gift, gift_message, total_paid, invoice_date, delivery_date, date_add, date_upd) VALUES
  (10, 'ABCDEFGHI', 5, 2, 1, 70, 1, 2, 1, 3, 'Dobírka', 'ps_cashondelivery', 1, 'Vše &quot;nej&quot;', 500.000000, '0000-00-00 00:00:00', '0000-00-00 00:00:00', '2026-11-01 09:00:00', '2026-11-02 10:00:00'),
  (11, 'JKLMNOPQR', 9, 2, 1, 71, 2, 1, 1, 2, 'Karta', 'comgate', 0, NULL, 25.500000, '0000-00-00 00:00:00', '0000-00-00 00:00:00', '2026-11-01 09:00:00', '2026-11-02 10:00:00'),
  (12, 'JKLMNOPQR', 1, 2, 1, 71, 2, 1, 1, 1, 'Převod', 'ps_wirepayment', 0, NULL, 10.000000, '0000-00-00 00:00:00', '0000-00-00 00:00:00', '2026-11-01 09:00:00', '2026-11-02 10:00:01'),
  (13, 'ANONYMNI0', 1, 2, 2, 72, 1, 1, 1, 2, 'Karta', 'comgate', 0, NULL, 10.000000, '0000-00-00 00:00:00', '0000-00-00 00:00:00', '2026-11-01 09:00:00', '2026-11-02 10:00:02');
INSERT INTO ps_order_history (id_employee, id_order, id_order_state, date_add) VALUES (0, 10, 13, '2026-11-01 09:00:00'), (1, 10, 3, '2026-11-02 10:00:00'), (0, 11, 2, '2026-11-01 09:00:00');
INSERT INTO ps_order_carrier (id_order_carrier, id_order, id_carrier, date_add) VALUES (1, 10, 5, NOW()), (2, 10, 5, NOW());
INSERT INTO ps_message (id_customer, id_order, message, private, date_add) VALUES (1, 10, 'tajné', 1, NOW()), (1, 10, 'Zvonek &amp; pes', 0, NOW());
INSERT INTO ps_tax (id_tax, rate) VALUES (1, 21.000);
INSERT INTO ps_order_detail (id_order_detail, id_order, id_shop, product_id, product_attribute_id, product_name, product_quantity, product_quantity_refunded, product_reference, product_ean13, product_weight, tax_name, total_price_tax_incl, unit_price_tax_incl, unit_price_tax_excl) VALUES
  (1, 10, 1, 7, 71, 'Tričko (bio) (Velikost: XL - Barva: bílá (sněhová))', 3, 1, 'TRI-XL', '8590000000017', 250, '', 363, 121, 100),
  (2, 10, 1, 8, 81, 'Kalhoty - Velikost : M, Barva : modrá', 1, 0, NULL, NULL, 500, '', 112, 112, 100),
  (3, 10, 1, 9, 0, 'Vráceno', 1, 1, 'X', NULL, 1, '', 1, 1, 1), (4, 11, 1, 9, 0, 'Kniha: díl (1)', 1, 0, 'K', '', 0, '', 25.5, 25.5, 25.5);
INSERT INTO ps_order_detail_tax (id_order_detail, id_tax, unit_amount, total_amount) VALUES (1, 1, 21, 63);
INSERT INTO ps_order_slip (id_customer, id_order, total_products_tax_incl, total_shipping_tax_incl, amount, partial, date_add, date_upd) VALUES (1, 10, 121, 0, 121, 1, NOW(), NOW());
INSERT INTO ps_packetery_order (id_order, id_branch, is_carrier, carrier_pickup_point) VALUES (10, 4321, 0, NULL), (11, 131, 1, 'SK-99');
INSERT INTO ps_packetery_payment (module_name, is_cod) VALUES ('ps_cashondelivery', 1), ('comgate', 0);
