"""Pictures of a host: network → bridge → port → container → address, and the way back.

Every renderer is a pure function of a HostView, and equal views give equal bytes. Names come from elsewhere
and may hold anything: each renderer escapes for its own format, and none of them refuses a view.
"""

from ductwork.plan.graph.as_json import graph_json
from ductwork.plan.graph.mermaid import render_mermaid
from ductwork.plan.graph.svg import render_svg
from ductwork.plan.graph.text import render_text

__all__ = ["graph_json", "render_mermaid", "render_svg", "render_text"]
