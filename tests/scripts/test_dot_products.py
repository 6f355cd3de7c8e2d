"""`scripts/dot_products.py`: the shortest loop of a function is found in what objdump prints, and what is in it counted."""

from scripts.dot_products import functions, inner_loop

DOTS = "".join(f"  {16 + 4 * i:2x}:\tsdot\tv{i}.4s, v30.16b, v31.4b[0]\n" for i in range(16))
LISTING = f"""
0000000000000000 <tile(int)>:
   8:\tldr\tq30, [x0], #16
   c:\tldr\tq31, [x1], #16
{DOTS}  56:\tsubs\tx2, x2, #0x1
  5a:\tb.ne\t8 <tile(int)+0x8>  // b.any
  5e:\tcbnz\tx3, 0 <tile(int)>
  62:\tret
0000000000000070 <other()>:
  70:\tb\t70 <other()>
"""


def test_an_inner_loop_is_counted() -> None:
    found = dict(functions(LISTING))
    assert list(found) == ["tile(int)", "other()"]
    assert inner_loop(found["tile(int)"]) == (20, 16)
    assert inner_loop(found["other()"]) is None


def test_a_product_of_matrices_counts_twice() -> None:
    found = dict(functions(LISTING.replace("sdot", "usmmla")))
    assert inner_loop(found["tile(int)"]) == (20, 32)
