import logging

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # at import it speaks of an optional kernel
