-- What the preset names of a Magento shop, and no more.

CREATE TABLE `core_config_data` (
  `config_id` int unsigned NOT NULL AUTO_INCREMENT,
  `scope` varchar(8) NOT NULL DEFAULT 'default',
  `scope_id` int NOT NULL DEFAULT 0,
  `path` varchar(255) NOT NULL DEFAULT 'general',
  `value` text,
  `updated_at` timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE CURRENT_TIMESTAMP,
  UNIQUE KEY (`scope`, `scope_id`, `path`),
  PRIMARY KEY (`config_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `packetery_order` (
  `id` int unsigned NOT NULL AUTO_INCREMENT,
  `order_number` varchar(128) NOT NULL,
  `recipient_firstname` varchar(128) NOT NULL,
  `recipient_lastname` varchar(128) NOT NULL,
  `value` decimal(20,4),
  `weight` decimal(12,4),
  `point_id` text NOT NULL,
  `is_carrier` smallint NOT NULL DEFAULT 0,
  `carrier_pickup_point` varchar(40),
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `sales_order` (
  `entity_id` int unsigned NOT NULL AUTO_INCREMENT,
  `state` varchar(32),
  `status` varchar(32),
  `shipping_description` varchar(255),
  `is_virtual` smallint unsigned,
  `store_id` smallint unsigned,
  `base_grand_total` decimal(20,4),
  `discount_amount` decimal(20,4),
  `grand_total` decimal(20,4),
  `tax_amount` decimal(20,4),
  `total_canceled` decimal(20,4),
  `total_paid` decimal(20,4),
  `total_refunded` decimal(20,4),
  `weight` decimal(12,4),
  `increment_id` varchar(50),
  `base_currency_code` varchar(3),
  `customer_email` varchar(128),
  `customer_taxvat` varchar(32),
  `order_currency_code` varchar(3),
  `shipping_method` varchar(120),
  `customer_note` text,
  `created_at` timestamp NOT NULL DEFAULT current_timestamp(),
  `updated_at` timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE CURRENT_TIMESTAMP,
  `discount_tax_compensation_amount` decimal(20,4),
  PRIMARY KEY (`entity_id`),
  KEY (`created_at`),
  UNIQUE KEY (`increment_id`, `store_id`),
  KEY (`state`),
  KEY (`status`),
  KEY (`store_id`),
  KEY (`store_id`, `state`, `created_at`),
  KEY (`updated_at`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `sales_order_address` (
  `entity_id` int unsigned NOT NULL AUTO_INCREMENT,
  `parent_id` int unsigned,
  `region` varchar(255),
  `postcode` varchar(255),
  `lastname` varchar(255),
  `street` varchar(255),
  `city` varchar(255),
  `email` varchar(255),
  `telephone` varchar(255),
  `country_id` varchar(2),
  `firstname` varchar(255),
  `address_type` varchar(255),
  `prefix` varchar(255),
  `middlename` varchar(255),
  `suffix` varchar(255),
  `company` varchar(255),
  `vat_id` text,
  PRIMARY KEY (`entity_id`),
  KEY (`parent_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `sales_order_item` (
  `item_id` int unsigned NOT NULL AUTO_INCREMENT,
  `order_id` int unsigned NOT NULL DEFAULT 0,
  `parent_item_id` int unsigned,
  `store_id` smallint unsigned,
  `created_at` timestamp NOT NULL DEFAULT current_timestamp(),
  `updated_at` timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE CURRENT_TIMESTAMP,
  `product_type` varchar(255),
  `product_options` longtext,
  `weight` decimal(12,4) DEFAULT 0.0000,
  `is_virtual` smallint unsigned,
  `sku` varchar(255),
  `name` varchar(255),
  `description` text,
  `qty_canceled` decimal(12,4) DEFAULT 0.0000,
  `qty_ordered` decimal(12,4) DEFAULT 0.0000,
  `qty_refunded` decimal(12,4) DEFAULT 0.0000,
  `qty_shipped` decimal(12,4) DEFAULT 0.0000,
  `price` decimal(20,4) NOT NULL DEFAULT 0.0000,
  `tax_percent` decimal(12,4) DEFAULT 0.0000,
  `tax_amount` decimal(20,4) DEFAULT 0.0000,
  `discount_amount` decimal(20,4) DEFAULT 0.0000,
  `row_total` decimal(20,4) NOT NULL DEFAULT 0.0000,
  `row_total_incl_tax` decimal(20,4),
  `discount_tax_compensation_amount` decimal(20,4),
  PRIMARY KEY (`item_id`),
  KEY (`order_id`),
  KEY (`store_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `sales_order_payment` (
  `entity_id` int unsigned NOT NULL AUTO_INCREMENT,
  `parent_id` int unsigned NOT NULL,
  `method` varchar(128),
  `additional_information` text,
  PRIMARY KEY (`entity_id`),
  KEY (`parent_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `sales_order_status` (
  `status` varchar(32) NOT NULL,
  `label` varchar(128) NOT NULL,
  PRIMARY KEY (`status`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `sales_order_status_history` (
  `entity_id` int unsigned NOT NULL AUTO_INCREMENT,
  `parent_id` int unsigned NOT NULL,
  `is_customer_notified` int,
  `is_visible_on_front` smallint unsigned NOT NULL DEFAULT 0,
  `comment` text,
  `status` varchar(32),
  `created_at` timestamp NOT NULL DEFAULT current_timestamp(),
  `entity_name` varchar(32),
  PRIMARY KEY (`entity_id`),
  KEY (`created_at`),
  KEY (`parent_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `sales_order_status_state` (
  `status` varchar(32) NOT NULL,
  `state` varchar(32) NOT NULL,
  `is_default` smallint unsigned NOT NULL DEFAULT 0,
  PRIMARY KEY (`status`, `state`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `sales_order_grid` (
  `entity_id` int unsigned NOT NULL,
  `status` varchar(32),
  `store_id` smallint unsigned,
  `increment_id` varchar(50),
  `created_at` timestamp NULL,
  `updated_at` timestamp NULL,
  PRIMARY KEY (`entity_id`),
  KEY (`status`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `sales_shipment` (
  `entity_id` int unsigned NOT NULL AUTO_INCREMENT,
  `store_id` smallint unsigned,
  `order_id` int unsigned NOT NULL,
  `increment_id` varchar(50),
  PRIMARY KEY (`entity_id`),
  KEY (`order_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `sales_shipment_track` (
  `entity_id` int unsigned NOT NULL AUTO_INCREMENT,
  `parent_id` int unsigned NOT NULL,
  `weight` decimal(12,4),
  `order_id` int unsigned NOT NULL,
  `track_number` text,
  `description` text,
  `title` varchar(255),
  `carrier_code` varchar(32),
  `created_at` timestamp NOT NULL DEFAULT current_timestamp(),
  `updated_at` timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (`entity_id`),
  KEY (`created_at`),
  KEY (`order_id`),
  KEY (`parent_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `store` (
  `store_id` smallint unsigned NOT NULL AUTO_INCREMENT,
  `code` varchar(32),
  `website_id` smallint unsigned NOT NULL DEFAULT 0,
  `name` varchar(255) NOT NULL DEFAULT '',
  PRIMARY KEY (`store_id`),
  KEY (`website_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
