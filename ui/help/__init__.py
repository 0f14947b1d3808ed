"""The help of the product, in its own words: a file a topic and language, and what finds and draws them."""
