// Terminal colours: SGR sequences become the classes of parts of the text; other escape sequences are removed.

// the same as the service's (athanor/protocol/safe_text.py), so that a search finds what is seen
const SEQUENCE = /\x1b\[([0-9;:]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)|\x1b[ -/]*[0-~]?/g;
// the sequences of one message that count; what follows them has no colours
const MOST_SEQUENCES = 2000;
const NO_STYLE = { colour: "", background: "", bold: false, dim: false, italic: false, underline: false };

export function plain(text) {
  return text.includes("\x1b") ? text.replace(SEQUENCE, "") : text;
}

// The text without sequences, and its styled parts as [begin, end, classes], in order.
export function styled(message) {
  if (!message.includes("\x1b")) return { text: message, parts: [] };
  const parts = [];
  let text = "";
  let style = NO_STYLE;
  let place = 0;
  let sequences = 0;
  const add = (piece) => {
    const name = classes(style);
    if (piece && name) parts.push([text.length, text.length + piece.length, name]);
    text += piece;
  };
  for (const found of message.matchAll(SEQUENCE)) {
    add(message.slice(place, found.index));
    place = found.index + found[0].length;
    if (found[1] !== undefined) style = next(style, found[1]);
    sequences += 1;
    if (sequences === MOST_SEQUENCES) {
      style = NO_STYLE;
      break;
    }
  }
  add(plain(message.slice(place)));
  return { text, parts };
}

function classes({ colour, background, bold, dim, italic, underline }) {
  const names = [colour && `fg-${colour}`, background && `bg-${background}`, bold && "bold", dim && "dim", italic && "italic", underline && "underline"];
  return names.filter(Boolean).join(" ");
}

// The style after an SGR sequence. Indexed and true colours become the nearest of the 16 colours
// that the theme defines.
function next(style, codes) {
  const made = { ...style };
  const list = (codes || "0").split(/[;:]/).map(Number);
  for (let at = 0; at < list.length; at += 1) {
    const code = list[at];
    if (code === 0) Object.assign(made, NO_STYLE);
    else if (code === 1) made.bold = true;
    else if (code === 2) made.dim = true;
    else if (code === 3) made.italic = true;
    else if (code === 4) made.underline = true;
    else if (code === 22) made.bold = made.dim = false;
    else if (code === 23) made.italic = false;
    else if (code === 24) made.underline = false;
    else if (code >= 30 && code <= 37) made.colour = code - 30;
    else if (code === 39) made.colour = "";
    else if (code >= 40 && code <= 47) made.background = code - 40;
    else if (code === 49) made.background = "";
    else if (code >= 90 && code <= 97) made.colour = code - 82;
    else if (code >= 100 && code <= 107) made.background = code - 92;
    else if (code === 38 || code === 48) {
      const what = code === 38 ? "colour" : "background";
      if (list[at + 1] === 5) {
        made[what] = indexed(list[at + 2]);
        at += 2;
      } else if (list[at + 1] === 2) {
        made[what] = nearest(list[at + 2], list[at + 3], list[at + 4]);
        at += 4;
      }
    }
    if (made.colour === 0) made.colour = "0";
    if (made.background === 0) made.background = "0";
  }
  return made;
}

function indexed(index) {
  if (!(index >= 0 && index <= 255)) return "";
  if (index < 16) return String(index);
  if (index >= 232) return index < 244 ? "8" : "7";
  const part = index - 16;
  return nearest(Math.floor(part / 36) * 51, (Math.floor(part / 6) % 6) * 51, (part % 6) * 51);
}

function nearest(red, green, blue) {
  const most = Math.max(red, green, blue);
  if (!(most >= 0)) return "";
  if (most < 48) return "8";
  const half = most / 2;
  const code = (red > half ? 1 : 0) + (green > half ? 2 : 0) + (blue > half ? 4 : 0);
  return String(most > 200 ? code + 8 : code);
}
