// What is selected with the mouse in the log: from a place in one line to a place in another.
// A selection of the browser has only what is in the document, and with it numbers and times.

import { getExactJson, nextPath, runPath } from "../common/api.js";
import { plain } from "./ansi.js";

const MOST_LINES = 100000;

export class LineSelection {
  // `lines` returns the list that is shown; `note(text)` says what happens
  constructor(id, root, lines, note) {
    this.id = id;
    this.root = root;
    this.lines = lines;
    this.note = note;
    root.addEventListener("copy", (event) => this.copy(event));
  }

  get ends() {
    const { anchorNode, focusNode, isCollapsed } = getSelection();
    if (isCollapsed) return [];
    return [anchorNode, focusNode].map((node) => (node && this.root.contains(node) ? rowOf(node) : null)).filter(Boolean);
  }

  // The numbers of the lines where it begins and ends.
  get keys() {
    return this.ends.map(({ line }) => line.shown.seq);
  }

  get isEmpty() {
    return this.ends.length === 0;
  }

  clear() {
    if (!this.isEmpty) getSelection().removeAllRanges();
  }

  // Puts messages into the clipboard, one line each, without numbers and times. Lines that are not
  // loaded any more are read first.
  copy(event) {
    if (this.isEmpty) return;
    const { startContainer, startOffset, endContainer, endOffset } = getSelection().getRangeAt(0);
    const rows = this.root.querySelectorAll(".row");
    const [first, begin] = this.place(startContainer, startOffset) ?? [rows[0], 0];
    const [last, end] = this.place(endContainer, endOffset) ?? [rows[rows.length - 1], Infinity];
    const parts = first === last ? [whole(first, begin, end)] : [whole(first, begin, Infinity), null, whole(last, 0, end)];
    const between = first === last ? [] : this.between(first.line.shown.seq, last.line.shown.seq);
    event.preventDefault();
    if (Array.isArray(between)) event.clipboardData.setData("text/plain", join(parts, between));
    else this.copyLater(parts, between);
  }

  // The row and the place in its message; null outside of the rows, as after the last one.
  place(node, offset) {
    const row = this.root.contains(node) && rowOf(node);
    return row ? [row, offsetIn(row, node, offset)] : null;
  }

  // The messages between two lines; a promise of them if some have to be read.
  between(first, last) {
    const lines = this.lines();
    const from = lines.place(first) + 1;
    const to = lines.place(last);
    const found = [];
    for (let index = from; index < to; index += 1) {
      const entry = lines.get(index);
      if (!entry) return this.read(first, last);
      if (!entry.gone) found.push(plain(entry.message));
    }
    return found;
  }

  async read(first, last) {
    if (last - first > MOST_LINES) throw new Error(`these are more than ${MOST_LINES.toLocaleString("en")} lines: download them`);
    const found = [];
    let path = `${runPath(this.id)}/logs?after=${first}&before=${last}&limit=10000`;
    while (path) {
      const page = await getExactJson(path);
      found.push(...page.logs.map(({ message }) => plain(message)));
      path = nextPath(path, page.next);
    }
    return found;
  }

  async copyLater(parts, between) {
    this.note("copying …");
    try {
      const messages = await between;
      await navigator.clipboard.writeText(join(parts, messages));
      this.note(`copied ${(messages.length + 2).toLocaleString("en")} lines`);
    } catch (error) {
      this.note(`can't copy: ${error.message}`);
    }
  }
}

function rowOf(node) {
  return (node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement).closest(".row");
}

// A selection that ends before the text of its last line does not have this line.
function join(parts, between) {
  return parts.flatMap((part) => (part === null ? between : [part])).filter((part) => part !== undefined).join("\n");
}

// What is selected in one row. A row shows one line of a message that has several: if all of it is
// selected, the whole message is.
function whole(row, begin, end) {
  const { entry } = row.line.shown;
  const shown = row.line.message.textContent;
  if (begin === 0 && end >= shown.length && entry && !entry.gone) return plain(entry.message).trimEnd();
  if (end === 0) return undefined;
  return shown.slice(begin, end);
}

// Where a place in the document is in the message of a row.
function offsetIn(row, node, offset) {
  const { message } = row.line;
  const before = new Range();
  before.selectNodeContents(message);
  if (before.comparePoint(node, offset) < 0) return 0;
  if (before.comparePoint(node, offset) > 0) return Infinity;
  before.setEnd(node, offset);
  return before.toString().length;
}
