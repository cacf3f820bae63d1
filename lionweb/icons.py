"""Icons drawn for this project on a grid of 16 x 16; strokes take the text's colour by the class `icon`."""

ICONS = {
    "lion": (
        '<circle cx="8" cy="8" r="7.2" fill="#d9822b" stroke="none"/><circle cx="8" cy="8.4" r="4.5" fill="#fff4e0" '
        'stroke="none"/><circle cx="6.2" cy="7.6" r=".8" fill="#5b3206" stroke="none"/><circle cx="9.8" cy="7.6" r=".8" '
        'fill="#5b3206" stroke="none"/><path d="M7 9.4h2L8 10.6z" fill="#5b3206" stroke="none"/>'
    ),
    "flask": '<path d="M6 1.8h4M6.6 1.8v4.4L2.9 12.6a1.1 1.1 0 0 0 1 1.6h8.2a1.1 1.1 0 0 0 1-1.6L9.4 6.2V1.8M4.6 10h6.8"/>',
    "stack": '<path d="M8 1.8 14.2 5 8 8.2 1.8 5zM1.8 8 8 11.2 14.2 8M1.8 11 8 14.2 14.2 11"/>',
    "target": '<circle cx="8" cy="8" r="6.2"/><circle cx="8" cy="8" r="3.2"/><circle cx="8" cy="8" r=".6"/>',
    "undo": '<path d="M3 6.4h6.4a3.6 3.6 0 0 1 0 7.2H6.2M5.8 3.2 2.6 6.4l3.2 3.2"/>',
    "plug": '<path d="M5.5 1.8v3.4M10.5 1.8v3.4M3.8 5.2h8.4v2.2a4.2 4.2 0 0 1-8.4 0zM8 11.6v2.6"/>',
    "cpu": (
        '<rect x="4" y="4" width="8" height="8" rx="1.2"/><path d="M6.5 6.5h3v3h-3zM6 1.8V4M10 1.8V4M6 12v2.2M10 12v2.2'
        'M1.8 6H4M1.8 10H4M12 6h2.2M12 10h2.2"/>'
    ),
    "person": '<circle cx="8" cy="5.2" r="2.9"/><path d="M2.6 14.2c.4-3 2.6-4.4 5.4-4.4s5 1.4 5.4 4.4"/>',
    "sign-out": '<path d="M6.2 2.2H3.4a1 1 0 0 0-1 1v9.6a1 1 0 0 0 1 1h2.8M10.4 11.2 13.6 8l-3.2-3.2M13.2 8H6"/>',
    "sun": (
        '<circle cx="8" cy="8" r="2.9"/><path d="M8 1.2v1.6M8 13.2v1.6M1.2 8h1.6M13.2 8h1.6M3.2 3.2l1.1 1.1M11.7 11.7l1.1 1.1'
        'M3.2 12.8l1.1-1.1M11.7 4.3l1.1-1.1"/>'
    ),
    "moon": '<path d="M13.6 9.6A6 6 0 0 1 6.4 2.4a6 6 0 1 0 7.2 7.2z"/>',
    "contrast": '<circle cx="8" cy="8" r="6.2"/><path d="M8 1.8v12.4a6.2 6.2 0 0 0 0-12.4z" fill="currentColor"/>',
    "plus": '<path d="M8 3v10M3 8h10"/>',
    "cross": '<path d="m4 4 8 8M12 4l-8 8"/>',
    "check": '<path d="m3 8.6 3.2 3.2L13 4.6"/>',
    "check-circle": '<circle cx="8" cy="8" r="6.2"/><path d="m5.2 8.3 2 2 3.7-4.2"/>',
    "cross-circle": '<circle cx="8" cy="8" r="6.2"/><path d="m5.8 5.8 4.4 4.4M10.2 5.8l-4.4 4.4"/>',
    "slash-circle": '<circle cx="8" cy="8" r="6.2"/><path d="m3.8 12.2 8.4-8.4"/>',
    "dashed-circle": '<circle cx="8" cy="8" r="6.2" stroke-dasharray="2.6 2.2"/>',
    "clock": '<circle cx="8" cy="8" r="6.2"/><path d="M8 4.4V8l2.4 1.6"/>',
    "spinner": '<circle cx="8" cy="8" r="6.2" opacity=".3"/><path class="spin" d="M8 1.8A6.2 6.2 0 0 1 14.2 8"/>',
    "hand": '<circle cx="8" cy="4.6" r="2.4"/><path d="M3.2 13.8c.3-3 2.2-4.6 4.8-4.6s4.5 1.6 4.8 4.6z"/>',
    "pause": '<circle cx="8" cy="8" r="6.2"/><path d="M6.4 5.6v4.8M9.6 5.6v4.8"/>',
    "play": '<path d="M4.6 2.8v10.4L13 8z"/>',
    "stop": '<rect x="3.6" y="3.6" width="8.8" height="8.8" rx="1"/>',
    "retry": '<path d="M13.2 8a5.2 5.2 0 1 1-1.6-3.8M13.4 1.8v3h-3"/>',
    "copy": '<rect x="5.4" y="5.4" width="8.4" height="8.4" rx="1.2"/><path d="M10.6 5.4V3.2a1 1 0 0 0-1-1H3.2a1 1 0 0 0-1 1v6.4a1 1 0 0 0 1 1h2.2"/>',
    "search": '<circle cx="7" cy="7" r="4.6"/><path d="m10.4 10.4 3.6 3.6"/>',
    "warning": '<path d="M8 2 14.6 13.6H1.4zM8 6.4v3.4M8 11.6v.2"/>',
    "info": '<circle cx="8" cy="8" r="6.2"/><path d="M8 7.4v3.4M8 5v.2"/>',
    "chevron-down": '<path d="m4 6 4 4 4-4"/>',
    "chevron-right": '<path d="m6 4 4 4-4 4"/>',
    "chevron-left": '<path d="m10 4-4 4 4 4"/>',
    "arrow-up": '<path d="M8 13V3M4 7l4-4 4 4"/>',
    "arrow-down": '<path d="M8 3v10M4 9l4 4 4-4"/>',
    "arrow-right": '<path d="M3 8h10M9 4l4 4-4 4"/>',
    "upload": '<path d="M8 10.6V2.4M4.6 5.6 8 2.2l3.4 3.4M2.4 10.6v2.2a1 1 0 0 0 1 1h9.2a1 1 0 0 0 1-1v-2.2"/>',
    "download": '<path d="M8 2.2v8.2M4.6 7.2 8 10.6l3.4-3.4M2.4 10.6v2.2a1 1 0 0 0 1 1h9.2a1 1 0 0 0 1-1v-2.2"/>',
    "list": '<path d="M5.4 4h8.4M5.4 8h8.4M5.4 12h8.4M2.2 4h.4M2.2 8h.4M2.2 12h.4"/>',
    "file": '<path d="M4 1.8h5l3.4 3.4v9H4zM8.8 1.8v3.6h3.6"/>',
    "key": '<circle cx="5.2" cy="10.8" r="3"/><path d="m7.4 8.6 6-6M11 5l2 2"/>',
    "lock": '<rect x="3.2" y="7" width="9.6" height="7" rx="1.2"/><path d="M5.2 7V4.8a2.8 2.8 0 0 1 5.6 0V7"/>',
    "edit": '<path d="M10.8 2.6 13.4 5.2 5.6 13H3v-2.6z"/>',
    "trash": '<path d="M2.6 4.2h10.8M6 4.2V2.4h4v1.8M4 4.2l.6 9.6h6.8l.6-9.6"/>',
    "branch": '<circle cx="4.4" cy="3.4" r="1.6"/><circle cx="4.4" cy="12.6" r="1.6"/><circle cx="11.6" cy="5.4" r="1.6"/><path d="M4.4 5v6M11.6 7c0 2.6-3 2.4-6.4 4.4"/>',
    "filter": '<path d="M2 3h12l-4.6 5.6v4.6L6.6 11.6v-3z"/>',
}
