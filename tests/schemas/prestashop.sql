-- What the preset names of a PrestaShop shop, and no more.

CREATE TABLE `ps_address` (
  `id_address` int unsigned NOT NULL AUTO_INCREMENT,
  `id_country` int unsigned NOT NULL,
  `id_customer` int unsigned NOT NULL DEFAULT 0,
  `alias` varchar(32) NOT NULL,
  `company` varchar(255),
  `lastname` varchar(255) NOT NULL,
  `firstname` varchar(255) NOT NULL,
  `address1` varchar(128) NOT NULL,
  `address2` varchar(128),
  `postcode` varchar(12),
  `city` varchar(64) NOT NULL,
  `phone` varchar(32),
  `phone_mobile` varchar(32),
  `vat_number` varchar(32),
  `dni` varchar(16),
  `date_add` datetime NOT NULL,
  `date_upd` datetime NOT NULL,
  `active` tinyint(1) unsigned NOT NULL DEFAULT 1,
  `deleted` tinyint(1) unsigned NOT NULL DEFAULT 0,
  KEY (`id_customer`),
  KEY (`id_country`),
  PRIMARY KEY (`id_address`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_carrier` (
  `id_carrier` int unsigned NOT NULL AUTO_INCREMENT,
  `id_reference` int unsigned NOT NULL,
  `name` varchar(64) NOT NULL,
  `active` tinyint(1) unsigned NOT NULL DEFAULT 0,
  `deleted` tinyint(1) unsigned NOT NULL DEFAULT 0,
  KEY (`deleted`, `active`),
  PRIMARY KEY (`id_carrier`),
  KEY (`id_reference`, `deleted`, `active`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_cart_rule` (
  `id_cart_rule` int unsigned NOT NULL AUTO_INCREMENT,
  `gift_product` int unsigned NOT NULL DEFAULT 0,
  `gift_product_attribute` int unsigned NOT NULL DEFAULT 0,
  PRIMARY KEY (`id_cart_rule`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `ps_configuration` (
  `id_configuration` int unsigned NOT NULL AUTO_INCREMENT,
  `id_shop_group` int unsigned,
  `id_shop` int unsigned,
  `name` varchar(254) NOT NULL,
  `value` mediumtext,
  `date_add` datetime NOT NULL,
  `date_upd` datetime NOT NULL,
  KEY (`id_shop`),
  KEY (`id_shop_group`),
  KEY (`name`),
  PRIMARY KEY (`id_configuration`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_country` (
  `id_country` int unsigned NOT NULL AUTO_INCREMENT,
  `id_zone` int unsigned NOT NULL,
  `id_currency` int unsigned NOT NULL DEFAULT 0,
  `iso_code` varchar(3) NOT NULL,
  `active` tinyint(1) unsigned NOT NULL DEFAULT 0,
  `contains_states` tinyint(1) NOT NULL DEFAULT 0,
  `need_identification_number` tinyint(1) NOT NULL DEFAULT 0,
  `display_tax_label` tinyint(1) NOT NULL,
  KEY (`id_zone`),
  KEY (`iso_code`),
  PRIMARY KEY (`id_country`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_currency` (
  `id_currency` int unsigned NOT NULL AUTO_INCREMENT,
  `name` varchar(64) NOT NULL,
  `iso_code` varchar(3) NOT NULL DEFAULT '0',
  `conversion_rate` decimal(13,6) NOT NULL,
  `deleted` tinyint(1) unsigned NOT NULL DEFAULT 0,
  `active` tinyint(1) unsigned NOT NULL DEFAULT 1,
  KEY (`iso_code`),
  PRIMARY KEY (`id_currency`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_customer` (
  `id_customer` int unsigned NOT NULL AUTO_INCREMENT,
  `id_shop_group` int unsigned NOT NULL DEFAULT 1,
  `id_shop` int unsigned NOT NULL DEFAULT 1,
  `id_gender` int unsigned NOT NULL,
  `id_lang` int unsigned,
  `company` varchar(255),
  `siret` varchar(14),
  `firstname` varchar(255) NOT NULL,
  `lastname` varchar(255) NOT NULL,
  `email` varchar(255) NOT NULL,
  `passwd` varchar(255) NOT NULL,
  `note` mediumtext,
  `active` tinyint(1) unsigned NOT NULL DEFAULT 0,
  `deleted` tinyint(1) NOT NULL DEFAULT 0,
  `date_add` datetime NOT NULL,
  `date_upd` datetime NOT NULL,
  KEY (`email`),
  KEY (`email`, `passwd`),
  KEY (`id_customer`, `passwd`),
  KEY (`id_gender`),
  KEY (`id_shop`, `date_add`),
  KEY (`id_shop_group`),
  PRIMARY KEY (`id_customer`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_image` (
  `id_image` int unsigned NOT NULL AUTO_INCREMENT,
  `id_product` int unsigned NOT NULL,
  `cover` tinyint(1) unsigned,
  UNIQUE KEY (`id_image`, `id_product`, `cover`),
  UNIQUE KEY (`id_product`, `cover`),
  KEY (`id_product`),
  PRIMARY KEY (`id_image`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_message` (
  `id_message` int unsigned NOT NULL AUTO_INCREMENT,
  `id_cart` int unsigned,
  `id_customer` int unsigned NOT NULL,
  `id_employee` int unsigned,
  `id_order` int unsigned NOT NULL,
  `message` mediumtext NOT NULL,
  `private` tinyint(1) unsigned NOT NULL DEFAULT 1,
  `date_add` datetime NOT NULL,
  KEY (`id_cart`),
  KEY (`id_customer`),
  KEY (`id_employee`),
  KEY (`id_order`),
  PRIMARY KEY (`id_message`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_orders` (
  `id_order` int unsigned NOT NULL AUTO_INCREMENT,
  `reference` varchar(255),
  `id_shop_group` int unsigned NOT NULL DEFAULT 1,
  `id_shop` int unsigned NOT NULL DEFAULT 1,
  `id_carrier` int unsigned NOT NULL,
  `id_lang` int unsigned NOT NULL,
  `id_customer` int unsigned NOT NULL,
  `id_cart` int unsigned NOT NULL,
  `id_currency` int unsigned NOT NULL,
  `id_address_delivery` int unsigned NOT NULL,
  `id_address_invoice` int unsigned NOT NULL,
  `current_state` int unsigned NOT NULL,
  `payment` varchar(255) NOT NULL,
  `conversion_rate` decimal(13,6) NOT NULL DEFAULT 1.000000,
  `module` varchar(255),
  `gift` tinyint(1) unsigned NOT NULL DEFAULT 0,
  `gift_message` mediumtext,
  `total_paid` decimal(20,6) NOT NULL DEFAULT 0.000000,
  `total_shipping_tax_incl` decimal(20,6) NOT NULL DEFAULT 0.000000,
  `invoice_date` datetime NOT NULL,
  `delivery_date` datetime NOT NULL,
  `valid` int(1) unsigned NOT NULL DEFAULT 0,
  `date_add` datetime NOT NULL,
  `date_upd` datetime NOT NULL,
  `note` mediumtext,
  KEY (`current_state`),
  KEY (`date_add`),
  KEY (`id_address_delivery`),
  KEY (`id_address_invoice`),
  KEY (`id_carrier`),
  KEY (`id_cart`),
  KEY (`id_currency`),
  KEY (`id_customer`),
  KEY (`id_lang`),
  KEY (`id_shop`),
  KEY (`id_shop_group`),
  KEY (`invoice_date`),
  PRIMARY KEY (`id_order`),
  KEY (`reference`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_order_carrier` (
  `id_order_carrier` int NOT NULL AUTO_INCREMENT,
  `id_order` int unsigned NOT NULL,
  `id_carrier` int unsigned NOT NULL,
  `weight` decimal(20,6),
  `tracking_number` varchar(64),
  `date_add` datetime NOT NULL,
  KEY (`id_carrier`),
  KEY (`id_order`),
  PRIMARY KEY (`id_order_carrier`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_order_cart_rule` (
  `id_order_cart_rule` int unsigned NOT NULL AUTO_INCREMENT,
  `id_order` int unsigned NOT NULL,
  `id_cart_rule` int unsigned NOT NULL,
  `name` varchar(254) NOT NULL,
  `value` decimal(20,6) NOT NULL DEFAULT 0.000000,
  `deleted` tinyint(1) unsigned NOT NULL DEFAULT 0,
  KEY (`id_cart_rule`),
  KEY (`id_order`),
  PRIMARY KEY (`id_order_cart_rule`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_order_detail` (
  `id_order_detail` int unsigned NOT NULL AUTO_INCREMENT,
  `id_order` int unsigned NOT NULL,
  `id_shop` int unsigned NOT NULL,
  `product_id` int unsigned NOT NULL,
  `product_attribute_id` int unsigned,
  `product_name` mediumtext NOT NULL,
  `product_quantity` int unsigned NOT NULL DEFAULT 0,
  `product_quantity_refunded` int unsigned NOT NULL DEFAULT 0,
  `product_quantity_return` int unsigned NOT NULL DEFAULT 0,
  `product_ean13` varchar(20),
  `product_reference` varchar(64),
  `product_weight` decimal(20,6) NOT NULL,
  `tax_name` varchar(16) NOT NULL,
  `tax_rate` decimal(10,3) NOT NULL DEFAULT 0.000,
  `total_price_tax_incl` decimal(20,6) NOT NULL DEFAULT 0.000000,
  `unit_price_tax_incl` decimal(20,6) NOT NULL DEFAULT 0.000000,
  `unit_price_tax_excl` decimal(20,6) NOT NULL DEFAULT 0.000000,
  KEY (`id_order`, `id_order_detail`),
  KEY (`id_order`),
  PRIMARY KEY (`id_order_detail`),
  KEY (`product_attribute_id`),
  KEY (`product_id`, `product_attribute_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_order_detail_tax` (
  `id_order_detail` int NOT NULL,
  `id_tax` int NOT NULL,
  `unit_amount` decimal(16,6) NOT NULL DEFAULT 0.000000,
  `total_amount` decimal(16,6) NOT NULL DEFAULT 0.000000,
  KEY (`id_order_detail`),
  KEY (`id_tax`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_order_history` (
  `id_order_history` int unsigned NOT NULL AUTO_INCREMENT,
  `id_employee` int unsigned NOT NULL,
  `id_order` int unsigned NOT NULL,
  `id_order_state` int unsigned NOT NULL,
  `date_add` datetime NOT NULL,
  KEY (`id_employee`),
  KEY (`id_order_state`),
  KEY (`id_order`),
  PRIMARY KEY (`id_order_history`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_order_slip` (
  `id_order_slip` int unsigned NOT NULL AUTO_INCREMENT,
  `conversion_rate` decimal(13,6) NOT NULL DEFAULT 1.000000,
  `id_customer` int unsigned NOT NULL,
  `id_order` int unsigned NOT NULL,
  `total_products_tax_incl` decimal(20,6),
  `total_shipping_tax_incl` decimal(20,6),
  `amount` decimal(20,6) NOT NULL DEFAULT 0.000000,
  `shipping_cost_amount` decimal(20,6) NOT NULL DEFAULT 0.000000,
  `partial` tinyint(1) NOT NULL,
  `date_add` datetime NOT NULL,
  `date_upd` datetime NOT NULL,
  KEY (`id_order`),
  KEY (`id_customer`),
  PRIMARY KEY (`id_order_slip`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_order_state` (
  `id_order_state` int unsigned NOT NULL AUTO_INCREMENT,
  `invoice` tinyint(1) unsigned DEFAULT 0,
  `module_name` varchar(255),
  `unremovable` tinyint(1) unsigned NOT NULL,
  `logable` tinyint(1) NOT NULL DEFAULT 0,
  `delivery` tinyint(1) unsigned NOT NULL DEFAULT 0,
  `shipped` tinyint(1) unsigned NOT NULL DEFAULT 0,
  `paid` tinyint(1) unsigned NOT NULL DEFAULT 0,
  `deleted` tinyint(1) unsigned NOT NULL DEFAULT 0,
  KEY (`module_name`),
  PRIMARY KEY (`id_order_state`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_order_state_lang` (
  `id_order_state` int unsigned NOT NULL,
  `id_lang` int unsigned NOT NULL,
  `name` varchar(64) NOT NULL,
  `template` varchar(64) NOT NULL,
  PRIMARY KEY (`id_order_state`, `id_lang`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_packetery_order` (
  `id_order` int,
  `id_cart` int,
  `id_branch` int,
  `is_cod` tinyint(1) NOT NULL DEFAULT 0,
  `tracking_number` varchar(15),
  `id_carrier` int DEFAULT 0,
  `is_carrier` tinyint(1) NOT NULL DEFAULT 0,
  `carrier_pickup_point` varchar(40),
  `weight` decimal(20,6),
  `country` varchar(2),
  `zip` varchar(255),
  `city` varchar(255),
  `street` varchar(255),
  UNIQUE KEY (`id_cart`),
  UNIQUE KEY (`id_order`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_packetery_payment` (
  `module_name` varchar(255) NOT NULL,
  `is_cod` tinyint(1) NOT NULL DEFAULT 0,
  PRIMARY KEY (`module_name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_product` (
  `id_product` int unsigned NOT NULL AUTO_INCREMENT,
  `price` decimal(20,6) NOT NULL DEFAULT 0.000000,
  `reference` varchar(64),
  `weight` decimal(20,6) NOT NULL DEFAULT 0.000000,
  `active` tinyint(1) unsigned NOT NULL DEFAULT 0,
  `condition` enum('new','used','refurbished') NOT NULL DEFAULT 'new',
  `cache_is_pack` tinyint(1) NOT NULL DEFAULT 0,
  `is_virtual` tinyint(1) NOT NULL DEFAULT 0,
  `date_add` datetime NOT NULL,
  `date_upd` datetime NOT NULL,
  `state` int unsigned NOT NULL DEFAULT 1,
  KEY (`date_add`),
  PRIMARY KEY (`id_product`),
  KEY (`reference`),
  KEY (`state`, `date_upd`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `ps_tax` (
  `id_tax` int unsigned NOT NULL AUTO_INCREMENT,
  `rate` decimal(10,3) NOT NULL,
  `active` tinyint(1) unsigned NOT NULL DEFAULT 1,
  `deleted` tinyint(1) unsigned NOT NULL DEFAULT 0,
  PRIMARY KEY (`id_tax`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
