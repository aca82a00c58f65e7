// What is searched for, as the service's search understands it (athanor/protocol/sought.py): upper and lower
// case of ASCII letters are the same, and in metadata it may be a part of the JSON, or of what a string in it says.

// marked places in one text
const MOST_MARKS = 100;

export class Needle {
  constructor(text) {
    this.text = fold(text);
    this.quoted = fold(JSON.stringify(text).slice(1, -1));
  }

  isIn(message) {
    return fold(message).includes(this.text);
  }

  isInMetadata(json) {
    const folded = fold(json);
    return folded.includes(this.text) || folded.includes(this.quoted);
  }

  // The places in a text as [begin, end], in order.
  places(text) {
    return placesOf(this.text, fold(text));
  }

  placesInMetadata(json) {
    const folded = fold(json);
    return placesOf(folded.includes(this.text) ? this.text : this.quoted, folded);
  }
}

function placesOf(wanted, text) {
  const found = [];
  let at = wanted ? text.indexOf(wanted) : -1;
  while (at >= 0 && found.length < MOST_MARKS) {
    found.push([at, at + wanted.length]);
    at = text.indexOf(wanted, at + wanted.length);
  }
  return found;
}

function fold(text) {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
