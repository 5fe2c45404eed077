SELECT a FROM t WHERE b = :since AND c::text = ':no' -- :no
 AND d = :now /* :no */ ORDER BY a;