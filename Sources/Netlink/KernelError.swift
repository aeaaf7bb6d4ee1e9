import CLinux
import Glibc

extension KernelError {
    /// Makes an error from an errno value of either sign.
    ///
    /// - Range: any but 0; system calls of the shim return -4095 to -1.
    public init(errno code: Int32, message: String? = nil) {
        self.init(code: code == .min ? .max : abs(code), message: message)
    }

    /// The name of the code, such as `EEXIST`; the number when it has none. Source: errno(3).
    public var symbol: String {
        cl_error_symbol(code).map { String(cString: $0) } ?? "errno \(code)"
    }

    /// Whether the same request may succeed when it is sent again without any other change:
    /// `EINTR`, `EAGAIN`, `EBUSY`, `ENOBUFS`, `ENOMEM`.
    public var isTransient: Bool {
        [EINTR, EAGAIN, EBUSY, ENOBUFS, ENOMEM].contains(code)
    }

    /// `File exists (EEXIST)`, followed by the kernel's own words when it sent some. A limit appears with its name.
    public var description: String {
        let text = cl_error_text(code).map { String(cString: $0) } ?? "Unknown error"
        let words = message.map { ": \($0)" } ?? ""
        let remedy =
            switch code {
            case EMFILE: "; raise the limit of open files (ulimit -n, LimitNOFILE=)"
            case ENFILE: "; raise the limit of this machine (sysctl fs.file-max)"
            default: ""
            }
        return "\(text) (\(symbol))\(words)\(remedy)"
    }
}
