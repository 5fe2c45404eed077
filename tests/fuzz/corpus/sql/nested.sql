SELECT /* /* :a */ :b */ $t$ :c $t$ $$ 'it''s' :d '\' :e' "" `x``:f` [y :g] -- :h
:i::text # :j
:k