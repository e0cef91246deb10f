// The text of a session in CodeMirror.
import { defaultKeymap } from '@codemirror/commands'
import { Compartment, EditorState } from '@codemirror/state'
import { EditorView, drawSelection, keymap, placeholder } from '@codemirror/view'
import { yCollab, yUndoManagerKeymap } from 'y-codemirror.next'
import * as Y from 'yjs'
import { Cursors } from './people.js'

const theme = EditorView.theme({
  '&': { height: '100%', color: 'var(--text)', fontSize: '1.0625rem' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'inherit', lineHeight: '1.65' },
  '.cm-content': { maxWidth: '46rem', margin: '0 auto', padding: '2rem 1.5rem 40vh', caretColor: 'var(--text)', flexShrink: '1', width: '100%', boxSizing: 'border-box' },
  '.cm-line': { padding: '0 2px' },
  '.cm-cursor': { borderLeftColor: 'var(--text)', borderLeftWidth: '2px' },
  '.cm-placeholder': { color: 'var(--faint)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': { background: 'var(--selection)' },
  // Names are there to be seen without pointing at them.
  '.cm-ySelectionInfo': { opacity: '1', fontFamily: 'inherit', fontSize: '0.6875rem', fontWeight: '600', lineHeight: '1.3', padding: '0 0.3em', borderRadius: '3px 3px 3px 0', top: '-1.35em', pointerEvents: 'none' },
  '.cm-ySelectionCaretDot': { display: 'none' }
})

/**
 * Shows a session inside an element, in a shadow tree: there CodeMirror's own
 * styles need no leave from the Content-Security-Policy.
 */
export class View {
  #permission = new Compartment()

  constructor (session, element) {
    this.session = session
    const root = element.shadowRoot ?? element.attachShadow({ mode: 'open' })
    this.undo = new Y.UndoManager(session.text)
    this.editor = new EditorView({
      root,
      parent: root,
      state: EditorState.create({
        doc: session.text.toString(),
        extensions: [
          keymap.of([...yUndoManagerKeymap, ...defaultKeymap]),
          drawSelection(),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ 'aria-label': 'Text of the document', spellcheck: 'true', autocapitalize: 'sentences' }),
          placeholder('Type here. Everybody who has this document open sees it.'),
          this.#permission.of([]),
          yCollab(session.text, new Cursors(session), { undoManager: this.undo }),
          theme
        ]
      })
    })
  }

  /** Lets people type, or not. */
  allow (isAllowed) {
    const { state } = this.editor
    if (state.readOnly === !isAllowed) return
    this.editor.dispatch({ effects: this.#permission.reconfigure(EditorState.readOnly.of(!isAllowed)) })
  }

  focus () {
    this.editor.focus()
  }

  close () {
    this.editor.destroy()
    this.undo.destroy()
  }
}
