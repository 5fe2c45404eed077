-- What the preset names of a WooCommerce shop, and no more.

CREATE TABLE `wp_commentmeta` (
  `meta_id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `comment_id` bigint unsigned NOT NULL DEFAULT 0,
  `meta_key` varchar(255),
  `meta_value` longtext,
  KEY (`comment_id`),
  KEY (`meta_key`(191)),
  PRIMARY KEY (`meta_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `wp_comments` (
  `comment_ID` bigint unsigned NOT NULL AUTO_INCREMENT,
  `comment_post_ID` bigint unsigned NOT NULL DEFAULT 0,
  `comment_author` tinytext NOT NULL,
  `comment_author_email` varchar(100) NOT NULL DEFAULT '',
  `comment_date` datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
  `comment_date_gmt` datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
  `comment_content` text NOT NULL,
  `comment_approved` varchar(20) NOT NULL DEFAULT '1',
  `comment_agent` varchar(255) NOT NULL DEFAULT '',
  `comment_type` varchar(20) NOT NULL DEFAULT 'comment',
  KEY (`comment_approved`, `comment_date_gmt`),
  KEY (`comment_author_email`(10)),
  KEY (`comment_date_gmt`),
  KEY (`comment_post_ID`),
  PRIMARY KEY (`comment_ID`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `wp_options` (
  `option_id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `option_name` varchar(191) NOT NULL DEFAULT '',
  `option_value` longtext NOT NULL,
  UNIQUE KEY (`option_name`),
  PRIMARY KEY (`option_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `wp_packetery_order` (
  `id` bigint unsigned NOT NULL,
  `carrier_id` varchar(15) NOT NULL,
  `is_exported` tinyint(1) NOT NULL,
  `is_label_printed` tinyint(1) NOT NULL,
  `point_id` varchar(50),
  `address_validated` tinyint(1) NOT NULL,
  `weight` float,
  `value` double,
  `cod` double,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `wp_postmeta` (
  `meta_id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `post_id` bigint unsigned NOT NULL DEFAULT 0,
  `meta_key` varchar(255),
  `meta_value` longtext,
  KEY (`meta_key`(191)),
  KEY (`post_id`),
  PRIMARY KEY (`meta_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `wp_posts` (
  `ID` bigint unsigned NOT NULL AUTO_INCREMENT,
  `post_date` datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
  `post_date_gmt` datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
  `post_content` longtext NOT NULL,
  `post_title` text NOT NULL,
  `post_excerpt` text NOT NULL,
  `post_status` varchar(20) NOT NULL DEFAULT 'publish',
  `to_ping` text NOT NULL,
  `pinged` text NOT NULL,
  `post_modified` datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
  `post_modified_gmt` datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
  `post_content_filtered` longtext NOT NULL,
  `post_parent` bigint unsigned NOT NULL DEFAULT 0,
  `post_type` varchar(20) NOT NULL DEFAULT 'post',
  KEY (`post_parent`),
  PRIMARY KEY (`ID`),
  KEY (`post_type`, `post_status`, `post_date`, `ID`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `wp_wc_orders` (
  `id` bigint unsigned NOT NULL,
  `status` varchar(20),
  `currency` varchar(10),
  `type` varchar(20),
  `total_amount` decimal(26,8),
  `billing_email` varchar(320),
  `date_created_gmt` datetime,
  `date_updated_gmt` datetime,
  `parent_order_id` bigint unsigned,
  `payment_method` varchar(100),
  `payment_method_title` text,
  `customer_note` text,
  KEY (`billing_email`(191)),
  KEY (`date_created_gmt`),
  KEY (`date_updated_gmt`),
  KEY (`parent_order_id`),
  PRIMARY KEY (`id`),
  KEY (`status`),
  KEY (`type`, `status`, `date_created_gmt`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `wp_wc_orders_meta` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `order_id` bigint unsigned,
  `meta_key` varchar(255),
  `meta_value` text,
  KEY (`meta_key`(50), `meta_value`(20)),
  KEY (`order_id`, `meta_key`(100), `meta_value`(82)),
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `wp_wc_order_addresses` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `order_id` bigint unsigned NOT NULL,
  `address_type` varchar(20),
  `first_name` text,
  `last_name` text,
  `company` text,
  `address_1` text,
  `address_2` text,
  `city` text,
  `state` text,
  `postcode` text,
  `country` text,
  `email` varchar(320),
  `phone` varchar(100),
  UNIQUE KEY (`address_type`, `order_id`),
  KEY (`email`(191)),
  KEY (`order_id`),
  KEY (`phone`),
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `wp_wc_order_operational_data` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `order_id` bigint unsigned,
  `date_paid_gmt` datetime,
  `date_completed_gmt` datetime,
  UNIQUE KEY (`order_id`),
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `wp_woocommerce_order_itemmeta` (
  `meta_id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `order_item_id` bigint unsigned NOT NULL,
  `meta_key` varchar(255),
  `meta_value` longtext,
  KEY (`meta_key`(32)),
  KEY (`order_item_id`),
  PRIMARY KEY (`meta_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `wp_woocommerce_order_items` (
  `order_item_id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `order_item_name` text NOT NULL,
  `order_item_type` varchar(200) NOT NULL DEFAULT '',
  `order_id` bigint unsigned NOT NULL,
  KEY (`order_id`),
  PRIMARY KEY (`order_item_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `wp_woocommerce_shipping_zone_methods` (
  `zone_id` bigint unsigned NOT NULL,
  `instance_id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `method_id` varchar(200) NOT NULL,
  `method_order` bigint unsigned NOT NULL,
  KEY (`method_id`(20)),
  PRIMARY KEY (`instance_id`),
  KEY (`zone_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
