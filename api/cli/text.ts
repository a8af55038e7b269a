/** Text as it may go to a terminal: pure functions, display widths in columns. */

/**
 * What a hostile process name or command line could use to command the administrator's terminal or to reorder what is
 * shown: C0 and C1 controls, DEL, line separators, bidirectional controls, zero-width and other invisible formats
 * (soft hyphen, byte order mark, tags), and halves of surrogate pairs.
 */
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu;

const familiar: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escapeCharacter(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (familiar[character] !== undefined) return familiar[character];
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}

/** The text with everything that is not a visible character or a space written as an escape. */
export function printable(text: string): string {
  return text.replace(unprintable, escapeCharacter);
}

/** Blocks that terminals draw two columns wide (East Asian Wide and Fullwidth, Unicode annex 11). */
const wideBlocks: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0x33ff],
  [0x3400, 0x4dbf],
  [0x4e00, 0x9fff],
  [0xa000, 0xa4cf],
  [0xa960, 0xa97f],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1faff],
  [0x20000, 0x3fffd],
];

function characterWidth(character: string): number {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x300) return 1;
  if (/\p{M}/u.test(character)) return 0;
  const wide = /\p{Emoji_Presentation}/u.test(character) || wideBlocks.some(([from, to]) => code >= from && code <= to);
  return wide ? 2 : 1;
}

function isNarrow(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text);
}

/** Columns that printable text takes on a terminal. */
export function displayWidth(text: string): number {
  if (isNarrow(text)) return text.length;
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

/** The longest beginning of the text that takes at most so many columns. */
export function cutToWidth(text: string, width: number): string {
  if (isNarrow(text)) return text.slice(0, Math.max(0, width));
  let used = 0;
  let end = 0;
  for (const character of text) {
    used += characterWidth(character);
    if (used > width) break;
    end += character.length;
  }
  return text.slice(0, end);
}

export function padToWidth(text: string, width: number, align: 'left' | 'right'): string {
  const blanks = ' '.repeat(Math.max(0, width - displayWidth(text)));
  return align === 'right' ? blanks + text : text + blanks;
}

/** Printable text in lines of at most so many columns, broken at spaces where it can be; one line without a width. */
export function wrapText(text: string, width: number | undefined, indent: string, hangingIndent: string): string[] {
  if (width === undefined) return [indent + text];
  // Each line has room for a wide character, so that every round takes something away.
  const room = Math.max(width, indent.length + 2, hangingIndent.length + 2);
  const lines: string[] = [];
  let line = indent;
  let rest = text;
  while (displayWidth(line + rest) > room) {
    const part = cutToWidth(rest, room - line.length);
    const space = rest.startsWith(' ', part.length) ? part.length : part.lastIndexOf(' ');
    lines.push(line + (space > 0 ? rest.slice(0, space) : part));
    rest = rest.slice(space > 0 ? space + 1 : part.length);
    line = hangingIndent;
  }
  return [...lines, line + rest].map((full) => cutToWidth(full, width));
}
