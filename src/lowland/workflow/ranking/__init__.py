"""The parts of `lowland rank`: what is asked, the scores, the statistics, and the document made of them."""
