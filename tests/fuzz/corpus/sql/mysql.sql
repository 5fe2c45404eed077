SELECT `:no`, ":no", 'it''s \' :no', # :no
 :code /*! STRAIGHT_JOIN */ /*+ hint */ FROM t