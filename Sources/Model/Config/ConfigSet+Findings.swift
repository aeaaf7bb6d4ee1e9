// What is wrong in the texts, and between them.

extension ConfigSet {
    /// All that is wrong, in the order of the texts.
    ///
    /// - Parameter reread: Reads a text again whose places were given up; nil: it is gone.
    func findings(_ reread: (String) -> ConfigText?) -> ConfigFindings {
        var (mistakes, warnings) = (Findings(), Findings())
        var result = ConfigFindings()
        for number in order {
            guard let facts = facts[number] else { continue }
            if facts.isRead { result.files.append(facts.name) }
            guard facts.isFlawed, let text = members[number]?.text else { continue }
            mistakes.add(text.mistakes)
            warnings.add(text.warnings)
            result.invalidValues += text.invalidValues
        }
        addRelations(to: &mistakes, reread)
        mistakes.finish()
        warnings.finish()
        (result.mistakes, result.omittedMistakes) = (mistakes.list, mistakes.omitted)
        (result.warnings, result.omittedWarnings) = (warnings.list, warnings.omitted)
        result.invalidValues.sort { $0.position < $1.position }
        result.isSilent = !order.contains { members[$0]?.text.saysSomething ?? false }
        return result
    }

    /// Puts what is wrong between values into words.
    private func addRelations(to mistakes: inout Findings, _ reread: (String) -> ConfigText?) {
        var own = Findings()
        var texts: [Int32: ConfigText] = [:]
        for ref in (Set(duplicates.keys).union(relations.problems.keys)).sorted(by: isBefore) {
            let item = item(ref)
            func position(_ path: [PathPart]) -> SourcePosition {
                guard !path.isEmpty, let text = members[ref.text]?.text else { return item.position }
                if !text.sources.isEmpty { return text.position(of: path, in: Int(ref.item)) }
                if texts[ref.text] == nil { texts[ref.text] = reread(text.name) ?? text }
                return texts[ref.text]?.position(of: path, in: Int(ref.item)) ?? item.position
            }
            func note(_ path: [PathPart], _ value: String?, _ text: String) {
                let finding = Finding(weight: .mistake, path: path, value: value, text: text, isMalformed: false)
                own.add(Mistake(item.value.sentence(finding), at: position(path), hidesSource: finding.isSecret))
            }
            if let earlier = duplicates[ref], !own.omitsNext() {
                note([], nil, "is declared twice; first at \(place(earlier))")
            }
            guard let problems = relations.problems[ref] else { continue }
            for problem in problems.list where !own.omitsNext() {
                var text = problem.text
                if problem.isMissing, own.wantsSuggestion, let value = problem.value {
                    let names = interfaceNames.filter { $0 != item.value.name }
                    text += Suggestion.phrase(for: value, among: names)
                }
                note(problem.path, problem.value, text)
            }
            own.omit(problems.omitted)
        }
        mistakes.add(own)
    }
}
