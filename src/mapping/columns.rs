//! The column names that a query may use: paths of the Brani order and the daemon's own.
//!
//! Sorted out by place, not by alphabet; a column that is none of these is a mistake in the settings. The place of a
//! field also tells its bit in the hashes per field.

/// The columns without the daemon's, which stand first: the fields of the order or of an item.
pub(super) const fn fields(columns: &'static [&'static str]) -> &'static [&'static str] {
    let mut own = 0;
    while columns[own].as_bytes()[0] == b'_' {
        own += 1;
    }
    columns.split_at(own).1
}

/// The paths that a column of the orders query may be named, `_`-columns included. New fields go to the end.
pub const ORDER_COLUMNS: &[&str] = &[
    // the daemon's
    "_key",
    "_cursor",
    "_status",
    "_shipping",
    "_payment",
    "_gone",
    "_problem",
    "_invoice",
    "_priority",
    "_ordering",
    "_tags",
    "_attributes",
    "_customs",
    // the order's
    "code",
    "creationTime",
    "email",
    "phone",
    "shippingDetails.branchId",
    "shippingDetails.carrierId",
    "billingMethodCode",
    "paymentMethodGuid",
    "shippingGuid",
    "paid",
    "companyId",
    "vatId",
    "taxId",
    "cashDeskOrder",
    "addressesEqual",
    "notes.trackingNumber",
    "notes.eshopRemark",
    "notes.customerRemark",
    "status.id",
    "price.toPay",
    "price.withVat",
    "price.currencyCode",
    "adminUrl",
    "vs",
    "externalCode",
    "deliveryAddress.fullName",
    "deliveryAddress.company",
    "deliveryAddress.street",
    "deliveryAddress.houseNumber",
    "deliveryAddress.city",
    "deliveryAddress.district",
    "deliveryAddress.additional",
    "deliveryAddress.zip",
    "deliveryAddress.countryCode",
    "deliveryAddress.regionName",
    "billingAddress.fullName",
    "billingAddress.company",
    "billingAddress.street",
    "billingAddress.houseNumber",
    "billingAddress.city",
    "billingAddress.district",
    "billingAddress.additional",
    "billingAddress.zip",
    "billingAddress.countryCode",
    "billingAddress.regionName",
    "billingAddress.companyId",
    "billingAddress.vatId",
    "billingAddress.taxId",
];

/// The paths that a column of the items query may be named, `_`-columns included. New fields go to the end.
pub const ITEM_COLUMNS: &[&str] = &[
    // the daemon's
    "_key",
    "_customs",
    "_customs.content_name_en",
    "_customs.content_country",
    "_customs.content_customs_code",
    "_customs.content_description",
    // the item's
    "itemId",
    "itemType",
    "code",
    "name",
    "variantName",
    "productGuid",
    "amount",
    "amountUnit",
    "weight",
    "vatRate",
    "itemPriceWithVat",
    "ean",
    "brand",
    "supplierName",
    "stockLocation",
    "remark",
    "additionalField",
    "status.id",
    "image",
    "buyPrice",
    "adminUrl",
    "surchargeParameters",
    "content_name_en",
    "content_country",
    "content_customs_code",
    "content_description",
];
