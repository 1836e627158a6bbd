"""Print the n-th `sh` code block of the README (1 = install and run, 2 = install and test)."""

import re
import sys
from pathlib import Path

readme = Path(__file__).parent.parent / "README.md"
blocks = re.findall(r"^```sh\n(.*?)^```", readme.read_text(), re.MULTILINE | re.DOTALL)
print(blocks[int(sys.argv[1]) - 1])
